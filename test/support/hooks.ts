import { doNotWaitForTheDisk, stopPostgres } from './postgres.js';

doNotWaitForTheDisk();

export const mochaHooks = {
  async afterAll(): Promise<void> {
    await stopPostgres();
  },
};
