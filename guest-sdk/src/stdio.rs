//! Standard output and error of a component.

/// Has libc take the streams behind standard output and error, which it then keeps for life.
///
/// libc asks its host for a stream when it is first written to. Were that to happen in the middle
/// of a task, the task would hold a resource over its next sleep, and a restored instance would
/// take the stream a second time. Writing no bytes takes the stream and shows nothing.
#[expect(unsafe_code, reason = "the standard library cannot be told to write nothing")]
pub(crate) fn hold() {
    unsafe extern "C" {
        fn write(descriptor: i32, bytes: *const u8, count: usize) -> isize;
    }
    for descriptor in [1, 2] {
        // SAFETY: this is `write` of POSIX, and no byte is read from an empty slice. Its result
        // does not matter: a guest without the stream finds out when it prints.
        unsafe { write(descriptor, [].as_ptr(), 0) };
    }
}
