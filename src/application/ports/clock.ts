/** Business time. Nothing else in the application asks what time it is. */
export interface Clock {
  now(): Date;
}
