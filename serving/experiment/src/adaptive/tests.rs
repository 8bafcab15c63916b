mod allocation;
mod cohorts;
mod contextual;
mod inference;
