"""Who may do what: Rucio's generic rules, under which only administrators could register what they stored or delete a rule."""

from typing import TYPE_CHECKING, Any

from rucio.core.permission import generic  # noqa: TID251  (it runs inside the server)
from rucio.core.rule import get_rule  # noqa: TID251

if TYPE_CHECKING:
    from rucio.common.types import InternalAccount  # noqa: TID251
    from sqlalchemy.orm import Session

OPEN = {"add_replicas", "update_replicas_states"}


def has_permission(issuer: "InternalAccount", action: str, kwargs: dict[str, Any], session: "Session") -> bool:
    """Say whether an account may do something."""
    if action == "del_rule" and get_rule(kwargs["rule_id"], session=session)["account"] == issuer:
        return True
    return action in OPEN or bool(generic.has_permission(issuer, action, kwargs, session=session))
