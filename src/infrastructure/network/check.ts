/** One question about a server that an operator may ask. */
export interface Check {
  what: string;
  /** Without it the later ones need not be asked. */
  vital: boolean;
  /** What was found, as it is or as a warning; rejects with what is wrong. */
  ask(): Promise<string | { warning: string }>;
}
