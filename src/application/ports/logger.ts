/** For operators: what happened, with the facts as fields. Never secrets, never whole documents. */
export interface Logger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}
