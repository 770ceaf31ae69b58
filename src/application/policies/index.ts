export { holdOrReleaseCredit } from './when-an-order-opens-or-settles-then-hold-or-release-credit.js';
export { decideOrder } from './when-credit-is-decided-then-decide-the-order.js';
export { runPolicy } from './policy.js';
