mod bounds;
mod judging;
mod online;
mod slates;
