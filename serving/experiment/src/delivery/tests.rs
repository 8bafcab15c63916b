mod machine;
mod resume;
mod rules;
mod support;
