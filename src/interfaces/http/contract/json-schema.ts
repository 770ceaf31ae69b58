import type Joi from 'joi';

export interface JsonSchema { properties?: Record<string, { description?: string }>; required?: string[] }

/** JSON Schema 2020-12, as Joi exports it. */
export function schemaOf(schema: Joi.Schema): JsonSchema {
  return (schema as unknown as { '~standard': { jsonSchema: { input(options: { target: string }): JsonSchema } } })['~standard'].jsonSchema.input({ target: 'draft-2020-12' });
}
