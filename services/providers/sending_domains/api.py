"""`/api/email-domains`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from libs.common.errors import NotFoundError
from libs.common.facts.domain import DnsRecord, DomainState
from libs.common.web import PathId, QueryId, problems, requires, router
from libs.common.web.principal import Principal
from services.providers.accounts.examples import CREATE_DOMAIN
from services.providers.answers import Domain, DomainWithDns, domain_answer, domain_with_dns
from services.providers.appending import caught_up, find_domain
from services.providers.calling import TheRegistry, calling, tell
from services.providers.ports import Registry
from services.providers.requests import CreateDomain
from services.providers.sending_domains.domain_name_rules import normalise
from services.providers.sending_domains.domain_rules import by_name
from services.providers.sending_domains.domains import create_domain
from services.providers.sending_domains.domains import delete_domain as delete
from services.providers.sending_domains.domains import verify_domain as verify


def domain_routes() -> APIRouter:
    """The routes, in the order of the API's description; `by-domain` comes before `{id}`, which would take it."""
    routes = router()

    @routes.post(
        "/api/email-domains", status_code=201, responses=problems(404, 409, 422, 502), openapi_extra=CREATE_DOMAIN
    )
    async def create_email_domain(
        body: CreateDomain,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_domains:create")],
    ) -> DomainWithDns:
        """Register a sending domain, here and at its provider.

        422 `identity_refused` or `credentials_rejected` with the provider's own words, 502 `provider_unreachable`.
        """
        changed = await create_domain(registry, body.provider_id, body.domain, calling(request, principal))
        tell(response, changed.positions)
        return domain_with_dns(changed.state)

    @routes.get("/api/email-domains")
    async def list_email_domains(
        registry: TheRegistry,
        _: Annotated[Principal, requires("email_domains:read")],
        provider_id: QueryId | None = None,
    ) -> list[Domain]:
        """Every domain, newest first; of one provider if asked for."""
        states = sorted(registry.domains.live.values(), key=lambda state: state.id, reverse=True)
        return [domain_answer(state) for state in states if provider_id in (None, state.provider_id)]

    @routes.get("/api/email-domains/by-domain/{domain}")
    async def get_domain_by_name(
        domain: str, registry: TheRegistry, _: Annotated[Principal, requires("email_domains:read")]
    ) -> DomainWithDns:
        """One domain by its name."""
        return domain_with_dns(await _named(registry, domain))

    @routes.get("/api/email-domains/{id}")
    async def get_domain(
        id: PathId, registry: TheRegistry, _: Annotated[Principal, requires("email_domains:read")]
    ) -> DomainWithDns:
        """One domain, as stored: nobody is asked."""
        return domain_with_dns(await find_domain(registry, id))

    @routes.get("/api/email-domains/{id}/dns-records")
    async def get_domain_dns_records(
        id: PathId, registry: TheRegistry, _: Annotated[Principal, requires("email_domains:read")]
    ) -> list[DnsRecord]:
        """The records that the domain's owner has to publish."""
        return (await find_domain(registry, id)).dns_records

    @routes.post("/api/email-domains/{id}/verify", responses=problems(422, 502))
    async def verify_domain(
        id: PathId,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_domains:write")],
    ) -> DomainWithDns:
        """Check the domain now, at the provider and in DNS.

        422 `credentials_rejected` and 502 `provider_unreachable` when the provider could not be asked: then nothing
        changes.
        """
        changed = await verify(registry, id, calling(request, principal))
        tell(response, changed.positions)
        return domain_with_dns(changed.state)

    @routes.delete("/api/email-domains/{id}", status_code=204, responses=problems(422, 502))
    async def delete_email_domain(
        id: PathId,
        request: Request,
        response: Response,
        registry: TheRegistry,
        principal: Annotated[Principal, requires("email_domains:delete")],
        delete_from_provider: Annotated[bool, Query(description="Delete it there too; SMTP knows none.")] = False,  # noqa: FBT002
    ) -> None:
        """Delete a domain. With `delete_from_provider` it is deleted there first; what fails there leaves it here."""
        tell(response, await delete(registry, id, at_provider=delete_from_provider, caller=calling(request, principal)))

    return routes


async def _named(registry: Registry, text: str) -> DomainState:
    unknown = NotFoundError(f"the domain {text} is not registered")
    try:
        name = normalise(text)
    except ValueError:
        raise unknown from None
    state = by_name(registry.domains.live, name)
    if state is None:
        await caught_up(registry.domain_view)
        state = by_name(registry.domains.live, name)
    if state is None:
        raise unknown
    return state
