"""What an operator does with the records, straight in the database: tokens that let programs in, and forgetting.

forgetting  deletes what a filter finds, for good
glance      what a filter finds, told before anything is deleted
lines       takes what a client sent out of the load balancer's log
tokens      made, listed, revoked
keeper      the connection that all of this is done on, as gatebook_keeper

Rule: what is done is noted in the trail, in the transaction that does it.
"""
