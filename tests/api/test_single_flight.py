"""Queries that waiting clients share."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from api.live.single_flight import SingleFlight
from store.database import async_engine, async_sessions


def test_who_asks_before_a_look_has_begun_shares_it_and_nobody_else(postgres_url: str) -> None:
    async def ask() -> None:
        engine = async_engine(postgres_url)
        single_flight = SingleFlight(async_sessions(engine), async_sessions(engine))
        begun: list[int] = []
        go_on = asyncio.Event()

        async def look(_: AsyncSession) -> int:
            begun.append(len(begun))
            mine = begun[-1]
            await go_on.wait()
            if mine == 2:
                raise LookupError
            return mine

        async def begins(number: int) -> None:
            async with asyncio.timeout(5):
                while len(begun) < number:
                    await asyncio.sleep(0)

        def asked(what: str) -> list[asyncio.Task[int]]:
            return [asyncio.create_task(single_flight.run(what, look)) for _ in range(3)]

        early = asked("a")
        await begins(1)
        late = asked("a")
        await begins(2)
        other = asked("b")
        await begins(3)
        early[0].cancel()  # it had begun the look that the others share
        go_on.set()
        found = await asyncio.gather(*early, *late, *other, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:6] == [0, 0, 1, 1, 1]
        assert [type(error) for error in found[6:]] == [LookupError] * 3
        await engine.dispose()

    asyncio.run(ask())
