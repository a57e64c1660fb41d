"""One module for each request that a CAS answers: who may, what is proved, what is durable."""
