mod bounds;
mod judging;
mod reference;
