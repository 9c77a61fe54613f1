//! Reads server-sent events.

use std::io::{self, BufRead, BufReader, Read};

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct StreamEvent {
    pub(super) id: Option<String>,
    pub(super) kind: String,
    pub(super) data: String,
}

/// The events of a body, as they come.
pub(super) struct EventStream<R = Box<dyn Read>>(BufReader<R>);

impl<R: Read> EventStream<R> {
    pub(super) fn new(body: BufReader<R>) -> Self {
        Self(body)
    }

    fn read(&mut self) -> io::Result<Option<StreamEvent>> {
        let mut event = StreamEvent::default();
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                // What has no empty line behind it is not complete.
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.kind),
                "id" => event.id = Some(value.to_owned()),
                "data" if event.data.is_empty() => value.clone_into(&mut event.data),
                "data" => event.data.extend(["\n", value]),
                // A comment, or the end of nothing but comments.
                "" if !line.is_empty() || event == StreamEvent::default() => {}
                "" => return Ok(Some(event)),
                _ => {}
            }
        }
    }
}

impl<R: Read> Iterator for EventStream<R> {
    type Item = io::Result<StreamEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_comments_left_out() {
        let body =
            ": hello\n\nid: 7\nevent: log\ndata: {\"a\":\ndata: 1}\n\n:\n\ndata:x\r\n\r\nevent: cut off\n";
        let stream = EventStream::new(BufReader::new(body.as_bytes()));
        let events: Vec<_> = stream.collect::<Result<_, _>>().unwrap();
        let first = StreamEvent { id: Some("7".into()), kind: "log".into(), data: "{\"a\":\n1}".into() };
        assert_eq!(events, [first, StreamEvent { data: "x".into(), ..StreamEvent::default() }]);
    }
}
