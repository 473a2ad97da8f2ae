/** One fault of a request: the field, by its path in the message, and what is wrong with it, in plain words. */
export interface FieldFault {
  readonly field: string;
  readonly fault: string;
}
