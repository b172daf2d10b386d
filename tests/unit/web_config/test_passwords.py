"""web_config/passwords.py: bcrypt, and what is kept of it."""

from __future__ import annotations

import asyncio

import bcrypt
import pytest

from perflens.web_config.passwords import Busy, Passwords
from tests.web_configs import HASH, PASSWORD

USERS = {"a": HASH}
RIGHT = PASSWORD.encode()


@pytest.mark.parametrize("password", [b"x" * 72, b"x" * 80, b"\xff\xfe", "pässwört".encode(), b"a:b"])
@pytest.mark.parametrize("kind", ["$2a", "$2b", "$2y"])
async def test_passwords_of_any_kind(password: bytes, kind: str) -> None:
    """Bytes of any kind may be a password; bcrypt looks at 72 of them."""
    own = Passwords()
    users = {"a": kind + bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()[3:]}

    assert await own.is_right(users, "a", password)
    assert not await own.is_right(users, "a", b"y" + password[1:])
    own.close()


async def test_right_ones_are_known_again() -> None:
    """A password that was right needs no other check, until its hash changes; one that was wrong is checked each time."""
    own = Passwords()
    assert await own.is_right(USERS, "a", RIGHT)
    assert not await own.is_right(USERS, "a", b"wrong")
    own.close()  # whatever needs a check fails from now on

    assert await own.is_right(USERS, "a", RIGHT)
    for users, user, password in (({"a": HASH.replace("$2b", "$2y")}, "a", RIGHT), (USERS, "a", b"wrong"), (USERS, "b", RIGHT)):
        with pytest.raises(RuntimeError):
            await own.is_right(users, user, password)


async def test_few_are_kept() -> None:
    """Of many that were right the last are known."""
    own = Passwords()
    users = {f"user{number}": HASH for number in range(130)}
    for user in users:
        assert await own.is_right(users, user, RIGHT)
    own.close()

    assert await own.is_right(users, "user129", RIGHT)
    assert await own.is_right(users, "user2", RIGHT)
    with pytest.raises(RuntimeError):
        await own.is_right(users, "user1", RIGHT)


async def test_nothing_is_kept_in_plain() -> None:
    """What is kept of a password is not the password, nor its hash."""
    own = Passwords()
    await own.is_right(USERS, "a", RIGHT)
    kept = repr({name: getattr(own, name) for name in ("_right", "_checks")})
    own.close()

    assert PASSWORD not in kept
    assert HASH not in kept


async def test_the_same_question_is_checked_once() -> None:
    """Clients that send the same password at the same time share its check, and so many may come."""
    own = Passwords()
    assert await asyncio.gather(*(own.is_right(USERS, "a", RIGHT) for _ in range(100))) == [True] * 100
    own.close()


async def test_busy() -> None:
    """Sixteen checks wait at most, then it is said so; when they are done there is room again."""
    own = Passwords()
    found = await asyncio.gather(*(own.is_right(USERS, "a", bytes([number])) for number in range(1, 20)), return_exceptions=True)

    assert found[:16] == [False] * 16
    assert [type(error) for error in found[16:]] == [Busy] * 3
    assert await own.is_right(USERS, "a", RIGHT)
    own.close()


def test_nobody_costs_what_somebody_costs() -> None:
    """A name that does not exist is checked at the cost of some user, always the same one; over many names at the cost of each."""
    own = Passwords()
    users = {"a": "$2b$04$" + "x" * 53, "b": "$2y$12$" + "x" * 53}
    costs = {name: own._hash_of_nobody(users, name)[:7] for name in map(str, range(100))}
    own.close()

    assert set(costs.values()) == {"$2b$04$", "$2b$12$"}
    assert all(own._hash_of_nobody(users, name).startswith(cost) for name, cost in costs.items())
    assert not bcrypt.checkpw(b"x", own._hash_of_nobody({"a": HASH}, "x").encode())
