"""nginx is reloaded, loses a worker, loses its master; everything dies; everything is stopped."""

import contextlib
import os
import signal

import psutil

from faults.trial import CLEAN_REFUSAL, IN_FLIGHT, IN_FLIGHT_THEN_NOBODY, Trial, fault, until_gone


@fault("nginx reload")
def reload_the_balancer(trial: Trial) -> None:
    trial.stack.gatebook("restart", "lb")
    trial.load.until_more(4 * trial.load.clients)


@fault("SIGKILL of an nginx worker", IN_FLIGHT)
def kill_a_worker(trial: Trial) -> None:
    """Its master starts another at once; the other workers do not notice."""
    worker = psutil.Process(trial.stack.part("lb")["pid"]).children()[0]
    worker.kill()
    until_gone([worker])
    trial.load.until_more(4 * trial.load.clients)


@fault("SIGKILL of nginx's master", IN_FLIGHT_THEN_NOBODY)
def kill_the_balancer(trial: Trial) -> None:
    trial.kill("lb")


@fault("SIGKILL of everything at once, then up", IN_FLIGHT_THEN_NOBODY, lasts=True)
def kill_everything(trial: Trial) -> None:
    processes = trial.stack.processes()
    processes.sort(key=lambda process: process.name() != "nginx")  # else it would find the time to say 503
    for process in processes:
        with contextlib.suppress(ProcessLookupError):  # it follows its parent
            os.kill(process.pid, signal.SIGKILL)
    until_gone(processes)
    trial.stack.up("--scale", 3)


@fault("down under load, then up", CLEAN_REFUSAL, lasts=True)
def stop_everything(trial: Trial) -> None:
    trial.stack.down()
    trial.stack.up("--scale", 3)
