//! Tracing policies of an agent, by its API.

use anyhow::{Context, Result};
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{
    AddTracingPolicyRequest, DeleteTracingPolicyRequest, DisableTracingPolicyRequest,
    EnableTracingPolicyRequest, ListTracingPoliciesRequest, TracingPolicyStatus,
};
use tonic::transport::Channel;

use super::{Agent, rpc};

impl Agent {
    fn sensors<T, F>(&self, call: impl FnOnce(FineGuidanceSensorsClient<Channel>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let socket = self.socket();
        rpc::block_on(async {
            let client = FineGuidanceSensorsClient::new(rpc::connect(socket).await?);
            call(client.max_decoding_message_size(256 << 20)).await
        })
    }

    /// Adds policies, one text each.
    pub fn add_policies<S: Into<String>>(&self, texts: impl IntoIterator<Item = S>) -> Result<()> {
        self.sensors(async |mut client| {
            for text in texts {
                let request =
                    AddTracingPolicyRequest { yaml: text.into(), ..AddTracingPolicyRequest::default() };
                let shown = request.yaml.clone();
                client.add_tracing_policy(request).await.with_context(|| format!("add {shown}"))?;
            }
            Ok(())
        })
    }

    /// Adds a policy.
    pub fn add_policy(&self, text: &str) -> Result<()> {
        self.add_policies([text])
    }

    /// Puts a policy in the place of the one of that name.
    pub fn replace_policy(&self, text: &str) -> Result<()> {
        let request = AddTracingPolicyRequest {
            yaml: text.to_owned(),
            replace: true,
            ..AddTracingPolicyRequest::default()
        };
        self.sensors(async |mut client| {
            client.add_tracing_policy(request).await.context("replace a policy")?;
            Ok(())
        })
    }

    /// Deletes a policy; the namespace is empty for one of the cluster.
    pub fn delete_policy(&self, namespace: &str, name: &str) -> Result<()> {
        let request = DeleteTracingPolicyRequest {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..DeleteTracingPolicyRequest::default()
        };
        self.sensors(async |mut client| {
            client.delete_tracing_policy(request).await.context("delete a policy")?;
            Ok(())
        })
    }

    /// Deletes all policies.
    pub fn delete_all_policies(&self) -> Result<()> {
        for policy in self.policies()? {
            self.delete_policy(&policy.namespace, &policy.name)?;
        }
        Ok(())
    }

    /// Has a policy hold, or not.
    pub fn switch_policy(&self, name: &str, on: bool) -> Result<()> {
        let name = name.to_owned();
        self.sensors(async |mut client| {
            if on {
                let request = EnableTracingPolicyRequest { name, ..EnableTracingPolicyRequest::default() };
                client.enable_tracing_policy(request).await.context("enable a policy")?;
            } else {
                let request = DisableTracingPolicyRequest { name, ..DisableTracingPolicyRequest::default() };
                client.disable_tracing_policy(request).await.context("disable a policy")?;
            }
            Ok(())
        })
    }

    /// All policies.
    pub fn policies(&self) -> Result<Vec<TracingPolicyStatus>> {
        self.sensors(async |mut client| {
            let request = ListTracingPoliciesRequest::default();
            Ok(client.list_tracing_policies(request).await.context("list policies")?.into_inner().policies)
        })
    }
}
