import { OperatorError } from '../../process/operator-error.js';
import type { Database } from '../connection/database.js';

/**
 * The number of partitions is fixed for a log's life: progress, tokens and documents name partitions. The first process that opens the log sets it.
 * @throws OperatorError when the log has another one
 */
export async function keepPartitions({ appends, schema }: Database, partitions: number): Promise<void> {
  await appends.query('update head set partitions = $1 where partitions is null', [partitions]);
  const { rows: [head] } = await appends.query<{ partitions: number }>('select partitions from head');
  if (head !== undefined && head.partitions !== partitions) {
    throw new OperatorError(`The log of ${schema} has ${head.partitions} partitions, and KAFKA_PARTITIONS is ${partitions}: `
      + `the number is fixed for a log's life, because views count by partition. Set KAFKA_PARTITIONS=${head.partitions}.`);
  }
}
