/** Something that the operator can mend: told in one line that says what to do, without a stack. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}
