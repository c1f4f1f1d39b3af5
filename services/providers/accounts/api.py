"""`/api/email-providers`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from libs.common.web import PathId, problems, requires, router
from libs.common.web.principal import Principal
from services.providers.accounts.check_provider import check_provider
from services.providers.accounts.create_provider import create_provider as create
from services.providers.accounts.delete_provider import delete_provider as delete
from services.providers.accounts.examples import CREATE_PROVIDER, TEST_PROVIDER, UPDATE_PROVIDER
from services.providers.accounts.update_provider import update_provider as update
from services.providers.answers import Provider, TestResult, provider_answer
from services.providers.appending import find_provider
from services.providers.calling import TheRegistry, calling, tell
from services.providers.requests import CreateProvider, TestProvider, UpdateProvider

Verify = Annotated[bool, Query(description="Check credentials live before anything is stored; SMTP's never are.")]


def provider_routes() -> APIRouter:
    """The routes, in the order in which the API's description shows them."""
    routes = router()

    @routes.post("/api/email-providers", status_code=201, responses=problems(422, 502), openapi_extra=CREATE_PROVIDER)
    async def create_email_provider(
        body: CreateProvider,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_providers:create")],
        verify: Verify = True,  # noqa: FBT002 - a query parameter
    ) -> Provider:
        """Add a provider.

        The credentials of SES and Scaleway are tried first, and nothing is stored when that fails: 422
        `credentials_rejected` with the provider's own words, 502 `provider_unreachable` when nobody could say.
        """
        changed = await create(registry, body.draft(), calling(request, principal), verify=verify)
        tell(response, changed.positions)
        return provider_answer(changed.state)

    @routes.get("/api/email-providers")
    async def list_email_providers(
        registry: TheRegistry, _: Annotated[Principal, requires("email_providers:read")]
    ) -> list[Provider]:
        """Every provider, newest first."""
        return [provider_answer(state) for _, state in sorted(registry.providers.live.items(), reverse=True)]

    @routes.get("/api/email-providers/{id}")
    async def get_email_provider(
        id: PathId, registry: TheRegistry, _: Annotated[Principal, requires("email_providers:read")]
    ) -> Provider:
        """One provider."""
        return provider_answer(await find_provider(registry, id))

    @routes.patch("/api/email-providers/{id}", responses=problems(422, 502), openapi_extra=UPDATE_PROVIDER)
    async def update_email_provider(
        id: PathId,
        body: UpdateProvider,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_providers:write")],
        verify: Verify = True,  # noqa: FBT002 - a query parameter
    ) -> Provider:
        """Change what is given, keep what is not.

        Changed credentials, or another region, of SES and Scaleway are tried first, as when a provider is added; they
        let a stopped provider go on.
        """
        state = await find_provider(registry, id)
        block = body.block(state.provider_type)
        changed = await update(registry, id, body.settings(), block, calling(request, principal), verify=verify)
        tell(response, changed.positions)
        return provider_answer(changed.state)

    @routes.delete("/api/email-providers/{id}", status_code=204, responses=problems(409))
    async def delete_email_provider(
        id: PathId,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_providers:delete")],
        force: Annotated[bool, Query(description="Delete its domains too.")] = False,  # noqa: FBT002
    ) -> None:
        """Delete a provider. What it knows of its domains is left there, with `force` too."""
        tell(response, await delete(registry, id, forced=force, caller=calling(request, principal)))

    @routes.post("/api/email-providers/{id}/test", openapi_extra=TEST_PROVIDER)
    async def test_provider(
        id: PathId,
        body: TestProvider,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_providers:write")],
    ) -> TestResult:
        """Send a test email to your own address. A relay's refusal is an answer like any other: `success` is false."""
        outcome = await check_provider(registry, id, body.mailbox(), calling(request, principal))
        tell(response, outcome.positions)
        tried = outcome.state
        return TestResult(
            success=tried.error is None,
            sent_to=tried.sent_to,
            provider_message_id=tried.provider_message_id,
            error=tried.error,
        )

    return routes
