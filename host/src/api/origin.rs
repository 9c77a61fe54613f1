//! Who asks: a page in a browser must not drive a host on loopback, neither by a name that it has made lead there nor by
//! a form that it sends.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Names that the host was told it has, besides `localhost`.
pub(super) type HostNames = Arc<[String]>;

/// Lets a request in that names the host as it is known, and that no page of another origin sent.
pub(super) async fn check_origin(State(names): State<HostNames>, request: Request, next: Next) -> Response {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    match refusal(request.headers(), authority, &names) {
        None => next.run(request).await,
        Some(refusal) => refusal.into_response(),
    }
}

fn refusal(headers: &HeaderMap, authority: Option<&str>, names: &[String]) -> Option<ApiError> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // A request line may have an authority of its own. Programs that speak HTTP/1.0 may send neither; browsers always do.
    let host = text(HOST).or(authority).unwrap_or("localhost");
    if !is_known(name_of(host), names) {
        let description = format!(
            "this host is not known as `{host}`: use its address, or start it with --host-name {}",
            name_of(host)
        );
        return Some(ApiError::new(StatusCode::FORBIDDEN, "unknown_host", description).about("Host"));
    }
    let origin = text(ORIGIN)?;
    // What a page was loaded by does not matter: a proxy may speak TLS for the host.
    let is_own = origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host));
    let description = format!("a page of `{origin}` may not use this host");
    (!is_own).then(|| ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", description).about("Origin"))
}

/// The name or the address in a `Host` header, without the port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// An address is no name that somebody else could have made lead here.
fn is_known(name: &str, names: &[String]) -> bool {
    let is_it = |known: &str| known.eq_ignore_ascii_case(name);
    name.parse::<IpAddr>().is_ok() || is_it("localhost") || names.iter().any(|known| is_it(known))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// The code of the refusal of a request with these headers.
    fn asked(host: Option<&str>, origin: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        refusal(&headers, None, &["dormouse.example.com".to_owned()])
            .map_or("none", |refusal| refusal.code)
            .to_owned()
    }

    #[test]
    fn the_host_is_an_address_or_a_name_that_it_was_told() {
        for host in [
            "127.0.0.1:7666",
            "127.0.0.1",
            "[::1]:7666",
            "[::1]",
            "localhost:7666",
            "LocalHost",
            "10.0.0.7:80",
        ] {
            assert_eq!(asked(Some(host), None), "none", "{host}");
        }
        assert_eq!(asked(Some("dormouse.example.com:443"), None), "none");
        assert_eq!(asked(None, None), "none");
        for host in ["evil.example.com", "localhost.example.com:7666", "", "127.0.0.1.nip.io", "\u{ff}"] {
            assert_eq!(asked(Some(host), None), "unknown_host", "{host}");
        }
    }

    #[test]
    fn an_authority_stands_for_the_host() {
        let asked =
            |authority: &str| refusal(&HeaderMap::new(), Some(authority), &[]).map(|refusal| refusal.code);
        assert_eq!(asked("127.0.0.1:7666"), None);
        assert_eq!(asked("evil.example.com"), Some("unknown_host"));
    }

    #[test]
    fn an_origin_is_that_of_the_host() {
        for (host, origin) in [
            ("127.0.0.1:7666", "http://127.0.0.1:7666"),
            ("[::1]:7666", "http://[::1]:7666"),
            ("dormouse.example.com", "https://dormouse.example.com"),
        ] {
            assert_eq!(asked(Some(host), Some(origin)), "none", "{origin}");
        }
        for origin in [
            "null",
            "http://127.0.0.1:8080",
            "http://localhost:7666",
            "https://evil.example.com",
            "127.0.0.1:7666",
        ] {
            assert_eq!(asked(Some("127.0.0.1:7666"), Some(origin)), "foreign_origin", "{origin}");
            assert_eq!(asked(None, Some(origin)), "foreign_origin", "{origin}");
        }
    }
}
