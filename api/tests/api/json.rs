//! The JSON form against its rules, and against an independent implementation.

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, SerializeOptions};
use prost_types::Timestamp;
use tetragon_api::json;
use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::*;

use crate::random;

fn kprobe(argument: KprobeArgument) -> GetEventsResponse {
    GetEventsResponse {
        event: Some(Event::ProcessKprobe(ProcessKprobe { args: vec![argument], ..Default::default() })),
        ..Default::default()
    }
}

fn argument(arg: Arg) -> String {
    json::to_string(&KprobeArgument { arg: Some(arg), ..Default::default() })
}

#[test]
fn an_exec_event_prints_as_the_contract_shows() {
    let process = Process {
        exec_id: "bm9kZTE6MTIzNDU2Nzg5MDo0Mg==".to_owned(),
        pid: Some(42),
        uid: Some(0),
        cwd: "/root".to_owned(),
        binary: "/usr/bin/ls".to_owned(),
        arguments: "-l /tmp".to_owned(),
        flags: "execve clone".to_owned(),
        start_time: Some(Timestamp { seconds: 1_704_103_200, nanos: 123_456_789 }),
        auid: Some(u32::MAX),
        parent_exec_id: "bm9kZTE6MTAwMDox".to_owned(),
        tid: Some(42),
        ..Default::default()
    };
    let event = GetEventsResponse {
        event: Some(Event::ProcessExec(ProcessExec { process: Some(process), ..Default::default() })),
        node_name: "node1".to_owned(),
        time: Some(Timestamp { seconds: 1_704_103_200, nanos: 123_456_800 }),
        ..Default::default()
    };
    assert_eq!(
        json::event_to_string(&event),
        concat!(
            r#"{"process_exec":{"process":{"exec_id":"bm9kZTE6MTIzNDU2Nzg5MDo0Mg==","pid":42,"uid":0,"#,
            r#""cwd":"/root","binary":"/usr/bin/ls","arguments":"-l /tmp","flags":"execve clone","#,
            r#""start_time":"2024-01-01T10:00:00.123456789Z","auid":4294967295,"#,
            r#""parent_exec_id":"bm9kZTE6MTAwMDox","tid":42}},"#,
            r#""node_name":"node1","time":"2024-01-01T10:00:00.123456800Z"}"#
        )
    );
}

#[test]
fn the_payload_comes_first_whatever_its_number() {
    let event = GetEventsResponse {
        event: Some(Event::Test(Test { arg1: 7, ..Default::default() })),
        node_name: "n".to_owned(),
        time: Some(Timestamp::default()),
        aggregation_info: Some(AggregationInfo { count: 2 }),
        cluster_name: "c".to_owned(),
        node_labels: [("b", "2"), ("a", "1")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    assert_eq!(
        json::event_to_string(&event),
        concat!(
            r#"{"test":{"arg1":"7"},"node_name":"n","time":"1970-01-01T00:00:00Z","#,
            r#""aggregation_info":{"count":"2"},"cluster_name":"c","node_labels":{"a":"1","b":"2"}}"#
        )
    );
}

#[test]
fn a_label_follows_its_argument() {
    let argument = KprobeArgument { arg: Some(Arg::IntArg(-1)), label: "fd".to_owned() };
    assert_eq!(
        json::event_to_string(&kprobe(argument)),
        r#"{"process_kprobe":{"args":[{"int_arg":-1,"label":"fd"}]}}"#
    );
}

#[test]
fn members_of_a_oneof_print_even_when_zero() {
    assert_eq!(argument(Arg::IntArg(0)), r#"{"int_arg":0}"#);
    assert_eq!(argument(Arg::StringArg(String::new())), r#"{"string_arg":""}"#);
    assert_eq!(argument(Arg::SizeArg(4096)), r#"{"size_arg":"4096"}"#);
    assert_eq!(argument(Arg::LongArg(-5)), r#"{"long_arg":"-5"}"#);
    assert_eq!(argument(Arg::BytesArg(vec![0xff, 0xfe].into())), r#"{"bytes_arg":"//4="}"#);
    assert_eq!(argument(Arg::PathArg(KprobePath::default())), r#"{"path_arg":{}}"#);
}

#[test]
fn names_keep_their_case() {
    let attributes = KprobeBpfAttr { prog_type: "T".to_owned(), insn_cnt: 2, prog_name: "p".to_owned() };
    assert_eq!(
        argument(Arg::BpfAttrArg(attributes)),
        r#"{"bpf_attr_arg":{"ProgType":"T","InsnCnt":2,"ProgName":"p"}}"#
    );
    let container =
        CreateContainer { pod_uid: "u".to_owned(), container_id: "i".to_owned(), ..Default::default() };
    assert_eq!(json::to_string(&container), r#"{"containerID":"i","podUID":"u"}"#);
}

#[test]
fn enums_print_by_name_or_else_by_number() {
    let capabilities = Capabilities { permitted: vec![0, 1, 63], ..Default::default() };
    assert_eq!(json::to_string(&capabilities), r#"{"permitted":["CAP_CHOWN","DAC_OVERRIDE",63]}"#);
    let call = ProcessKprobe { action: KprobeAction::Post as i32, return_action: 99, ..Default::default() };
    assert_eq!(json::to_string(&call), r#"{"action":"KPROBE_ACTION_POST","return_action":99}"#);
}

#[test]
fn explicit_presence_prints_what_is_set() {
    let request = ConfigureTracingPolicyRequest { enable: Some(false), mode: Some(0), ..Default::default() };
    assert_eq!(json::to_string(&request), r#"{"enable":false,"mode":"TP_MODE_UNKNOWN"}"#);
    assert_eq!(json::to_string(&ConfigureTracingPolicyRequest::default()), "{}");
    assert_eq!(
        json::to_string(&Filter { health_check: Some(false), ..Default::default() }),
        r#"{"health_check":false}"#
    );
}

#[test]
fn unknown_fields_are_refused_or_skipped_as_asked() {
    let text = r#"{"process_exec":{"process":{"pid":1,"news":{"a":[1]}}},"node_name":"n"}"#;
    let error = json::from_str::<GetEventsResponse>(text).unwrap_err().to_string();
    assert!(error.contains("news"), "{error}");
    let event: GetEventsResponse = json::from_str_lenient(text).unwrap();
    assert_eq!(event.node_name, "n");
}

#[test]
fn both_spellings_of_a_name_are_read() {
    let expected = Filter { binary_regex: vec!["x".to_owned()], event_set: vec![1, 5], ..Default::default() };
    for text in [
        r#"{"binary_regex":["x"],"event_set":["PROCESS_EXEC",5]}"#,
        r#"{"binaryRegex":["x"],"eventSet":[1,"PROCESS_EXIT"]}"#,
    ] {
        assert_eq!(json::from_str::<Filter>(text).unwrap(), expected);
    }
}

#[test]
fn what_follows_a_message_is_an_error() {
    assert!(json::from_str::<Filter>("{} {}").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_event_reads_back(event in random::message::<GetEventsResponse>()) {
        let text = json::event_to_string(&event);
        prop_assert_eq!(json::from_str::<GetEventsResponse>(&text).unwrap(), event);
    }

    #[test]
    fn every_event_means_what_the_reflective_writer_says(event in random::message::<GetEventsResponse>()) {
        same_meaning(&event)?;
    }

    #[test]
    fn every_request_and_answer_means_what_the_reflective_writer_says(
        request in random::message::<GetEventsRequest>(),
        policies in random::message::<ListTracingPoliciesResponse>(),
        info in random::message::<GetInfoResponse>(),
        status in random::message::<GetStatusResponse>(),
        hook in random::message::<RuntimeHookRequest>(),
        debug in random::message::<GetDebugResponse>(),
    ) {
        same_meaning(&request)?;
        same_meaning(&policies)?;
        same_meaning(&info)?;
        same_meaning(&status)?;
        same_meaning(&hook)?;
        same_meaning(&debug)?;
    }
}

fn same_meaning<T: prost::Message + prost::Name + json::ToJson>(message: &T) -> Result<(), TestCaseError> {
    let descriptor = tetragon_api::descriptor_pool().get_message_by_name(&T::full_name()).unwrap();
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).unwrap();
    let options = SerializeOptions::new().use_proto_field_name(true);
    let expected = dynamic.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
    let found: serde_json::Value = serde_json::from_str(&json::to_string(message)).unwrap();
    prop_assert_eq!(found, expected);
    Ok(())
}
