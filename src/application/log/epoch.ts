/**
 * Whether the log `epoch` takes the place of `other` in a topic and in the views. A log begins under a random UUID; the epochs that it is given later
 * (`orderfold log new-epoch`) are UUIDv7, which are in order of time. Of two that began under random ones, neither does.
 */
export function supersedes(epoch: string, other: string): boolean {
  return isGiven(epoch) && (!isGiven(other) || epoch > other);
}

function isGiven(epoch: string): boolean {
  return epoch.charAt(14) === '7';
}
