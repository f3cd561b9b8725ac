//! Tags an EC2 instance as under investigation.
//!
//! **When.** At once: whoever looks at the instance, and whatever cleans up by tags, shall know.
//!
//! **What.** Four tags: `stanch:status` (`under-investigation`, or as told), `stanch:incident`, `stanch:since` and
//! `stanch:by`. One call each: a tag that somebody changes afterwards is left alone when the others are undone.
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`. Acting: `ec2:CreateTags`. Undoing: `ec2:CreateTags`,
//! `ec2:DeleteTags`.
//!
//! **Blast radius.** None, unless something acts on these tags. An instance whose metadata options show its tags sees
//! them.
//!
//! **Undo.** Each tag gets its former value, or goes.
//!
//! Sources: EC2 API Reference "`CreateTags`", "`DeleteTags`"; EC2 User Guide "Tag your Amazon EC2 resources".

use serde::Deserialize;
use stanch_aws::{Ec2, Ec2Api, InstanceTag, TagSlot, TagState, next_order, tag_value};
use stanch_core::{
    Change, Error, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::Ec2Instance,
};

/// What the status says where nothing is told.
const STATUS: &str = "under-investigation";

/// Tags an EC2 instance as under investigation.
pub struct AwsMarkInstance;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What the status says.
    pub status: Option<String>,
}

impl Responder for AwsMarkInstance {
    const NAME: &'static str = "aws-mark-instance";
    const ABOUT: &'static str = "Tags an EC2 instance as under investigation.";
    const UNDO: &'static str = "Each tag gets its former value, or goes.";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[Permission::Aws("ec2:DescribeInstances")],
        apply: &[Permission::Aws("ec2:CreateTags")],
        revert: &[Permission::Aws("ec2:CreateTags"), Permission::Aws("ec2:DeleteTags")],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "status",
        form: "text, under-investigation",
        about: "What the tag stanch:status says: 1 to 64 letters, digits, spaces and _.:/=+-@.",
    }];
    const GENTLE: bool = true;

    type Cloud = Ec2<TagSlot>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = TagSlot;

    async fn plan(_: &Ec2Api, scene: &Scene<'_, Self>) -> Result<Plan<TagSlot>> {
        let Scene { target, options, facts, mark, .. } = scene;
        let tags = [
            ("stanch:status", status(options)?),
            ("stanch:incident", mark.incident.to_string()),
            ("stanch:since", mark.opened.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            ("stanch:by", tag_value(&mark.by)),
        ];
        let changes = tags.map(|(key, value)| Change {
            slot: TagSlot::Tag(InstanceTag {
                region: target.region.clone(),
                account: target.account.clone(),
                instance: target.id.clone(),
                key: key.to_owned(),
            }),
            before: TagState { tag: facts.tags.get(key).cloned() },
            after: TagState { tag: Some(value) },
        });
        let left = Remaining::new("it is only marked: everything else is as it was").next(next_order(
            "aws-snapshot-volumes",
            mark,
            target,
        ));
        Ok(Plan::empty().then(changes).leaving([left]))
    }
}

fn status(options: &Options) -> Result<String> {
    let Some(status) = &options.status else { return Ok(STATUS.to_owned()) };
    let fits = (1..=64).contains(&status.chars().count()) && tag_value(status) == *status;
    if !fits {
        let message = "must be 1 to 64 letters, digits, spaces and _.:/=+-@, and not begin with aws:";
        return Err(Error::invalid("options.status", message));
    }
    Ok(status.clone())
}

#[cfg(test)]
mod tests;
