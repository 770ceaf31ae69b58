import type Joi from 'joi';

export interface JsonSchema { properties?: Record<string, { description?: string }>; required?: string[] }

/** What Joi's own types do not declare. */
interface Exporting {
  '~standard': { jsonSchema: { input(options: { target: string }): JsonSchema } };
}

/** JSON Schema 2020-12, as Joi exports it. */
export function schemaOf(schema: Joi.Schema): JsonSchema {
  return (schema as unknown as Exporting)['~standard'].jsonSchema.input({ target: 'draft-2020-12' });
}
