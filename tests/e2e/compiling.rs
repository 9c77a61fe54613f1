//! What is uploaded is compiled in a process of its own.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::{fs, thread};

use dormouse_tests::{Client, HostProcess, guest};
use serde_json::json;

const HOST: &str = env!("CARGO_BIN_EXE_dormouse-under-test");

/// A component that takes gigabytes to compile: its one function has 7.5 MB, of the 7.6 that are allowed.
fn huge() -> Vec<u8> {
    // 0, and 1 added to it over and over.
    let body = [&[0, 0x41, 0][..], &[0x41, 1, 0x6a].repeat(2_500_000), &[0x0b]].concat();
    let (types, functions) = (section(1, &[1, 0x60, 0, 1, 0x7f]), section(3, &[1, 0]));
    let code = section(10, &[&[1][..], &length(body.len()), &body].concat());
    let module = [b"\0asm\x01\0\0\0", &types[..], &functions, &code].concat();
    // A core module that nothing makes an instance of, behind all else.
    [guest("durable-sleep"), section(1, &module)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &length(content.len()), content].concat()
}

/// A number as WebAssembly writes it.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Most memory that a process has had, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_module_that_takes_gigabytes_to_compile_is_refused_and_the_host_goes_on() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let host = HostProcess::start(HOST, folder.path());
    host.deploy("dormouse-programs");
    let client: &Client = &host;
    let refused = thread::scope(|scope| {
        let upload = scope.spawn(|| client.post_bytes("/modules", "application/wasm", &huge()));
        for _ in 0..20 {
            let beside = client.start("echo", &json!("beside"));
            assert_eq!(client.ended(&beside)["output"], "beside");
        }
        upload.join().expect("it is answered")
    });
    assert_eq!((refused.status, &refused.body["errors"][0]["code"]), (422, &json!("compile_memory")));
    assert!(peak_memory(host.id()) < 400 << 20, "{} bytes", peak_memory(host.id()));
    assert_eq!(host.list("/modules").len(), 1);
    assert_eq!(compiled(folder.path()), 1);
    host.deploy("durable-sleep");
    assert_eq!(compiled(folder.path()), 2);
}

/// How many modules the host keeps compiled.
fn compiled(data: &Path) -> usize {
    let files = fs::read_dir(data.join("cache")).expect("it is there").flatten();
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "cwasm")).count()
}
