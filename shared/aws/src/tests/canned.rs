//! Answers in EC2's documented form, for what moto has not.

use stanch_range::proxy::{CallInfo, Proxy, ec2_error};

/// Answers calls of `action` with what `body` makes of them; `None`: moto answers.
pub(super) fn answer(
    proxy: &Proxy,
    action: &'static str,
    body: impl Fn(&CallInfo) -> Option<String> + Send + Sync + 'static,
) {
    proxy.rewrite(move |call| {
        if call.action.as_deref() != Some(action) {
            return None;
        }
        let mut response = ec2_error(200, "", "");
        *response.body_mut() = body(call)?.into();
        response.headers_mut().remove("content-length");
        Some(response)
    });
}

/// Answers calls of `action` with an error.
pub(super) fn refuse(proxy: &Proxy, action: &'static str, status: u16, code: &'static str, text: &'static str) {
    proxy.rewrite(move |call| (call.action.as_deref() == Some(action)).then(|| ec2_error(status, code, text)));
}

/// One snapshot of an answer.
pub(super) struct Snapshot<'a> {
    pub(super) id: &'a str,
    pub(super) volume: &'a str,
    pub(super) owner: &'a str,
    pub(super) state: &'a str,
    pub(super) progress: &'a str,
    pub(super) started: &'a str,
}

/// An answer to `DescribeSnapshots`.
pub(super) fn snapshots(found: &[Snapshot<'_>], next: &str) -> String {
    let items = found.iter().map(|it| {
        format!(
            "<item><snapshotId>{}</snapshotId><volumeId>{}</volumeId><status>{}</status><statusMessage>out of \
             luck</statusMessage><startTime>{}</startTime><progress>{}</progress><ownerId>{}</ownerId></item>",
            it.id, it.volume, it.state, it.started, it.progress, it.owner
        )
    });
    let items = items.collect::<Vec<_>>().concat();
    format!(
        "<DescribeSnapshotsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\
         <snapshotSet>{items}</snapshotSet><nextToken>{next}</nextToken></DescribeSnapshotsResponse>"
    )
}
