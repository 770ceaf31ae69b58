/** How one kind of thing behaves, as data and pure functions: no clock, no ids, no storage. */
export interface Decider<Command, State, Event> {
  readonly initial: State;
  /**
   * The events that `command` leads to at `now`; `[]` when it is already so.
   * @throws Rejection when it is not allowed.
   */
  decide(command: Command, state: State, now: Date): Event[];
  /** The state after `event`. Never refuses: history is fact. */
  evolve(state: State, event: Event): State;
}
