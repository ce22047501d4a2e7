//! The core by itself: arguments, hostile messages, forgetting.
