/** Client of dg's API: every operation typed, and what a program needs around them. */
export { Client, type Options } from "./client.js";
export { DgError, Unreachable } from "./errors.js";
export { OPERATIONS } from "./operations.js";
export type { Answer, Listed, OperationId, PagedId, Request, Schemas } from "./types.js";
export type { StatusUpdate } from "./updates.js";
export type { components, operations, paths } from "./schema.js";
