"""Every fault, in the order of the table."""

from faults import on_balancer, on_clock, on_database, on_disks, on_replicas

FAULTS = (
    on_replicas.kill_a_replica,
    on_replicas.kill_each_replica_in_turn,
    on_replicas.kill_two_replicas_at_once,
    on_replicas.stop_a_replica,
    on_replicas.die_before_the_answer,
    on_replicas.scale,
    on_replicas.restart_rolling,
    on_balancer.reload_the_balancer,
    on_database.kill_a_backend,
    on_database.kill_the_postmaster,
    on_database.stop_the_database_at_once,
    on_database.hang_the_database,
    on_database.hang_the_database_and_kill_the_replicas,
    on_database.cut_the_connection,
    on_database.silence_the_connection,
    on_database.silence_the_connection_of_one,
    on_database.slow_the_disk,
    on_disks.fill_the_disk_of_the_database,
    on_disks.fill_both_disks,
    on_balancer.kill_a_worker,
    on_balancer.kill_the_balancer,
    on_balancer.kill_everything,
    on_balancer.stop_everything,
    on_clock.stamp_an_hour_off,
)
