mod allocation;
mod inference;
mod reference;
