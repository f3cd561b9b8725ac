//! Look-ups about the attributes of an instance.

use aws_sdk_ec2::types::{InstanceAttributeName, ShutdownBehavior};
use stanch_core::{Error, Kind, Result, names::InstanceId};

use crate::{ec2::Ec2Api, error::classify, slot::Protection};

impl Ec2Api {
    /// Whether an attribute protects the instance. One call, `ec2:DescribeInstanceAttribute`, which answers one
    /// attribute a time.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn protects(&self, instance: &InstanceId, what: Protection) -> Result<bool> {
        const OPERATION: &str = "ec2:DescribeInstanceAttribute";
        let name = match what {
            Protection::Termination => InstanceAttributeName::DisableApiTermination,
            Protection::Stop => InstanceAttributeName::DisableApiStop,
            Protection::Shutdown => InstanceAttributeName::InstanceInitiatedShutdownBehavior,
        };
        let call = self.client.describe_instance_attribute().instance_id(instance.as_str()).attribute(name);
        let answer = call.send().await.map_err(|error| classify(OPERATION, instance.as_str(), error))?;
        let found = match what {
            Protection::Termination => {
                answer.disable_api_termination().and_then(aws_sdk_ec2::types::AttributeBooleanValue::value)
            }
            Protection::Stop => answer.disable_api_stop().and_then(aws_sdk_ec2::types::AttributeBooleanValue::value),
            Protection::Shutdown => answer
                .instance_initiated_shutdown_behavior()
                .and_then(|value| value.value())
                .map(|value| value == ShutdownBehavior::Stop.as_str()),
        };
        found.ok_or_else(|| {
            Error::new(Kind::Internal, OPERATION, "the answer does not hold the attribute").on(instance.as_str())
        })
    }
}
