"""Pipelines: register, read and check."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api.call import Call, Handler, answer, created, items


async def list_pipelines(call: Call) -> Response:
    return items(await call.core.pipelines.list(call.principal))


async def register_pipeline(call: Call) -> Response:
    pipeline = await call.core.pipelines.register(call.principal, call.body["text"], call.once)
    return created(pipeline, f"/pipelines/{pipeline.service}")


async def lint_pipeline(call: Call) -> Response:
    return items(await call.core.pipelines.lint(call.principal, call.body["text"]))


async def get_pipeline(call: Call) -> Response:
    return answer(await call.core.pipelines.get(call.principal, call.arguments["service"]))


async def get_pipeline_history(call: Call) -> Response:
    page = await call.core.pipelines.history(
        call.principal,
        call.arguments["service"],
        cursor=call.arguments["cursor"],
        limit=call.arguments["limit"],
    )
    return answer(page)


async def get_pipeline_source(call: Call) -> Response:
    return answer(await call.core.pipelines.source(call.principal, call.arguments["service"]))


HANDLERS: Mapping[str, Handler] = {
    "listPipelines": list_pipelines,
    "registerPipeline": register_pipeline,
    "lintPipeline": lint_pipeline,
    "getPipeline": get_pipeline,
    "getPipelineHistory": get_pipeline_history,
    "getPipelineSource": get_pipeline_source,
}
