/** The types of requests and answers, read off the generated schema by operation. */
import type { components, operations } from "./schema.js";

export type Schemas = components["schemas"];
export type OperationId = keyof operations;

type Nothing = Record<never, never>;

/** `{name: T}`, optional where the schema says so, nothing where it has no such part. */
type Part<Name extends string, T> = [NonNullable<T>] extends [never]
  ? Nothing
  : undefined extends T
    ? { [Key in Name]?: NonNullable<T> }
    : { [Key in Name]: T };

type Content<T> = T extends { content: { "application/json": infer Body } } ? Body : never;

type Parameters<Id extends OperationId> = operations[Id]["parameters"];

/** What one operation is asked with. */
export type Request<Id extends OperationId> = Part<"path", Parameters<Id>["path"]> &
  Part<"query", Parameters<Id>["query"]> &
  Part<
    "body",
    undefined extends operations[Id]["requestBody"]
      ? Content<NonNullable<operations[Id]["requestBody"]>> | undefined
      : Content<operations[Id]["requestBody"]>
  > & {
    /** An Idempotency-Key of your own; without it the client makes one for its own retries. */
    key?: string;
    signal?: AbortSignal;
  };

/** The last argument of a call: it may be left out where nothing of it is needed. */
export type Asked<Id extends OperationId> = Nothing extends Request<Id> ? [Request<Id>?] : [Request<Id>];

type Success = 200 | 201 | 202;

/** What one operation answers, as JSON. */
export type Answer<Id extends OperationId> = {
  [Status in keyof operations[Id]["responses"] & Success]: Content<operations[Id]["responses"][Status]>;
}[keyof operations[Id]["responses"] & Success];

type HasCursor<Query> = [Query] extends [never] ? false : "cursor" extends keyof Query ? true : false;

/** Operations whose lists come in pages. */
export type PagedId = {
  [Id in OperationId]: HasCursor<NonNullable<Parameters<Id>["query"]>> extends true ? Id : never;
}[OperationId];

/** One thing of a list. */
export type Listed<Id extends OperationId> =
  Answer<Id> extends { items: readonly (infer Item)[] } ? Item : never;
