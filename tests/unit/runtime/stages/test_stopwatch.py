from modelservice.stages.stopwatch import Stopwatch


def test_steps_measured_twice_add_up() -> None:
    times = iter([0.0, 1.0, 5.0, 7.5])
    watch = Stopwatch(lambda: next(times))
    for _ in range(2):
        with watch.step("read"):
            pass
    assert watch.seconds == {"read": 3.5}
