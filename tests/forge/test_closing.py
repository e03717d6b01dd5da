"""A page whose socket is closed connects again; one whose close cannot be sent would wait for ever."""

import pytest

from chat import consumers


@pytest.mark.parametrize("code", [consumers.SIGNED_OUT, consumers.TOO_SLOW, consumers.TRY_AGAIN])
def test_a_code_that_a_socket_is_closed_with_is_one_that_servers_may_send(code: int) -> None:
    # RFC 6455, 7.4: what lies between is said by browsers, or never on the wire.
    assert code == 1000 or 3000 <= code <= 4999
