mod allocation;
mod inference;
