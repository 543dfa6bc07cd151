"""A short run of scripts/pattern-trial: many instances at once leave nothing in Redis and nothing in the store."""

import os

from installed import Shim
from pattern_trial import Trial
from redis_servers import running_redis


def test_instances_that_live_at_once_leave_nothing(
    shim: Shim, redis_image: str, redis_pattern: str, tmp_path: os.PathLike[str]
) -> None:
    with running_redis(os.fspath(tmp_path)) as server:
        trial = Trial(shim, server, f"oci:{redis_image}", f"oci:{redis_pattern}")
        lives = trial.run(instances=8, processes=4)
        assert list(trial.anomalies(lives)) == []
        # The trial can fail: this is what it has to see.
        with server.client() as client:
            client.call("ACL", "SETUSER", "trial-left", "on")
            client.call("SELECT", "9")
            client.call("SET", "trial:left:key", "value")
            client.call("DEL", "trial:0:key")
        with open(os.path.join(shim.root, "instances", "left"), "w", encoding="ascii") as file:
            file.write(lives[0].secrets[0])
        anomalies = sorted(trial.anomalies(lives))
        os.unlink(file.name)
        assert len(anomalies) == 5
        assert anomalies[:2] == [
            "Redis: the key (9, 'trial:0:key') is lost",
            "Redis: the key (9, 'trial:left:key') is left",
        ]
        assert anomalies[2].startswith("Redis: the user trial-left on ")
        assert anomalies[3:] == [
            f"store: {file.name} holds a password",
            "store: instances/left is left",
        ]
