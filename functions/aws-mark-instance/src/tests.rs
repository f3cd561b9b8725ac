use stanch_core::Kind;

use super::*;

#[test]
fn the_status_is_a_tag_value() {
    let told = |text: &str| status(&Options { status: Some(text.to_owned()) });
    assert_eq!(status(&Options::default()).expect("the usual"), "under-investigation");
    assert_eq!(told("compromised: case 7").expect("fits"), "compromised: case 7");
    for text in ["", "aws:mine", "a\nb", "$(reboot)", &"x".repeat(65)] {
        let error = told(text).expect_err(text);
        assert_eq!((error.kind(), error.resource()), (Kind::Invalid, "options.status"), "{text}");
    }
}
