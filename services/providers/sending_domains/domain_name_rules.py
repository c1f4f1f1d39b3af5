"""A sending domain's name in the one form that is stored and compared."""

from libs.common.mime.addresses import normal_domain


def normalise(name: str) -> str:
    """Lower case and IDNA. Raises ValueError with a sentence for the caller.

    Two labels at least: a host's short name sends no mail to others, and nobody could publish records for it.
    """
    domain = normal_domain(name.strip(" \t\r\n"))
    if "." not in domain:
        raise ValueError("a sending domain has at least one dot")
    return domain
