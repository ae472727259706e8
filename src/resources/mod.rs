//! What a machine has and what a task needs: fixed-point scalars, ranges and sets, with reservations.
