mod bounds;
mod judging;
mod reference;
mod slates;
