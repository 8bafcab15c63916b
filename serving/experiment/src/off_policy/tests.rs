mod bounds;
mod judging;
mod slates;
