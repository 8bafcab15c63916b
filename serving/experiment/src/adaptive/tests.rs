mod allocation;
mod contextual;
mod inference;
