//! Names and types of options, in files and variables: what is refused, and what is suggested.

use super::{load, refused};

#[test]
fn an_unknown_variable_is_refused() {
    refused(
        "",
        &[
            ("SEATMETER__KAFKA__TOPIC__NAME", "x"),
            ("SEATMETER__KAFKA__BROKER", "x"),
            ("SEATMETER__KAFKA", "x"),
            ("SEATMETER__INGEST__WORKER_THREADS", "many"),
            ("SEATMETER__AUTH__REQUIRE_EXP", "no"),
        ],
        &[
            "SEATMETER__AUTH__REQUIRE_EXP = \"no\": expected true or false",
            "SEATMETER__INGEST__WORKER_THREADS = \"many\": expected a whole number",
            "SEATMETER__KAFKA: no such option; `seatmeter check-config --defaults` lists them",
            "SEATMETER__KAFKA__BROKER: no such option (did you mean SEATMETER__KAFKA__BROKERS?); \
            `seatmeter check-config --defaults` lists them",
            "SEATMETER__KAFKA__TOPIC__NAME: no such option (did you mean \
            SEATMETER__KAFKA__TOPIC?); `seatmeter check-config --defaults` lists them",
        ],
    );
}

#[test]
fn a_variable_of_another_form_is_refused_unless_somebody_else_sets_it() {
    refused(
        "",
        &[("SEATMETER_KAFKA_TOPIC", "x"), ("SEATMETER_CONFI", "x"), ("SEATMETER_WHATEVER", "x")],
        &[
            "SEATMETER_CONFI: no such option (did you mean SEATMETER_CONFIG?); `seatmeter \
            check-config --defaults` lists them",
            "SEATMETER_KAFKA_TOPIC: no such option (did you mean SEATMETER__KAFKA__TOPIC?); \
            `seatmeter check-config --defaults` lists them",
            "SEATMETER_WHATEVER: no such option; `seatmeter check-config --defaults` lists them",
        ],
    );
    // Variables of the program that are no options, and those that Kubernetes sets for services.
    let known = [
        "SEATMETER_CONFIG",
        "SEATMETER_ENGINE_PASSWORD",
        "SEATMETER_CACHE_DIR",
        "SEATMETER_SERVICE_HOST",
        "SEATMETER_SERVICE_PORT_HTTP",
        "SEATMETER_PORT",
        "SEATMETER_PORT_8080_TCP_ADDR",
        "SEATMETER_API_SERVICE_PORT",
        "SEATMETER_API_PORT_8080_TCP",
    ];
    load("", &known.map(|name| (name, "tcp://10.0.0.1:8080"))).unwrap();
    let mistaken = "SEATMETER_PORT: no such option; `seatmeter check-config --defaults` lists them";
    refused("", &[("SEATMETER_PORT", "8080")], &[mistaken]);
}

#[test]
fn a_file_tells_all_its_errors_and_the_environment_its_own() {
    let file = "[kafka]\nbroker = \"x\"\ntopic = 5\nassignor = \"sticky\"\n\
        [kafak]\ntopic = \"x\"\n\
        [ingest]\nworker_threads = 65\n\
        [http]\ncors_origins = [\"https://a.example\", 7]\n\
        [auth]\nmode = true\nrequire_exp = \"yes\"";
    let error = load(file, &[("SEATMETER__LOG__FORMT", "text")]).expect_err("must be refused");
    let problems: Vec<_> = error
        .problems
        .iter()
        .map(|problem| {
            let text = problem.to_string();
            text.split_once(": ").map_or(text.clone(), |(path, rest)| {
                if path.starts_with('/') { rest.to_owned() } else { text.clone() }
            })
        })
        .collect();
    let lists = "`seatmeter check-config --defaults` lists them";
    assert_eq!(
        problems,
        [
            "auth.mode: expected a string, found true or false".to_owned(),
            "auth.require_exp: expected true or false, found a string".to_owned(),
            "http.cors_origins: expected a list of strings, found a number in it".to_owned(),
            format!("kafak: no such option (did you mean kafka?); {lists}"),
            format!("kafka.broker: no such option (did you mean brokers?); {lists}"),
            "kafka.topic: expected a string, found a number".to_owned(),
            format!(
                "SEATMETER__LOG__FORMT: no such option (did you mean SEATMETER__LOG__FORMAT?); \
                {lists}"
            ),
            "ingest.worker_threads = 65: allowed are 0 to 64".to_owned(),
        ]
    );
}

#[test]
fn the_listener_is_named_as_people_name_it() {
    for (listen, expected) in [("8081", "127.0.0.1:8081"), ("localhost:80", "127.0.0.1:80")] {
        let config = load("", &[("SEATMETER__HTTP__LISTEN", listen)]).unwrap();
        assert_eq!(config.http.listen.to_string(), expected);
    }
}

#[test]
fn an_unknown_key_a_wrong_type_and_broken_syntax_name_the_file() {
    let problem = |file: &str| {
        let error = load(file, &[]).expect_err("must be refused").to_string();
        let (path, problem) =
            error.split_once(": kafka.").or_else(|| error.split_once(": TOML ")).unwrap();
        assert!(path.starts_with("configuration: /"), "{error}");
        problem.to_owned()
    };
    assert!(
        problem("[kafka]\nbroker = \"x\"")
            .starts_with("broker: no such option (did you mean brokers?)")
    );
    assert_eq!(problem("[kafka]\ntopic = 5"), "topic: expected a string, found a number");
    assert_eq!(
        problem("[kafka]\nsession_timeout_ms = \"5\""),
        "session_timeout_ms: expected a whole number, found a string"
    );
    assert_eq!(
        problem("[kafka]\ntopic = \"x"),
        "parse error at line 2, column 11: invalid basic string"
    );
}
