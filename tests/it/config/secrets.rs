//! Secrets: where they come from, and that none is shown.

use seatmeter::config::AuthMode;
use secrecy::ExposeSecret as _;

use super::{load, refused};

/// The beginning of a file of unsecured tokens.
macro_rules! oauthbearer {
    () => {
        "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \
        \"OAUTHBEARER\"\n\
         \"enable.sasl.oauthbearer.unsecure.jwt\" = true\n"
    };
}

/// The beginning of a file of an authorization server's tokens.
macro_rules! oidc {
    () => {
        "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \
        \"OAUTHBEARER\"\n\
         \"sasl.oauthbearer.method\" = \"oidc\"\n\"sasl.oauthbearer.client.id\" = \"x\"\n\
         \"sasl.oauthbearer.client.secret\" = \"hunter2\"\n"
    };
}

#[test]
fn secrets_come_from_files_without_their_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let file = format!(
        "[clickhouse]\npassword_file = \"{}\"\n[kafka.property_files]\n\"sasl.password\" = \"{}\"\n\
         [auth]\nmode = \"jwt\"\nhs256_secret_files = [\"{}\"]",
        write("clickhouse", "two words\n"),
        write("kafka", "s3cret\r\n"),
        write("jwt", "0123456789abcdef0123456789abcdef"),
    );
    let config = load(&file, &[]).unwrap();
    assert_eq!(config.clickhouse.password.expose_secret(), "two words");
    assert_eq!(config.kafka.properties["sasl.password"].expose_secret(), "s3cret");
    let AuthMode::Jwt(jwt) = config.auth.mode else { panic!("must be jwt") };
    assert_eq!(jwt.hs256_secrets[0].expose_secret(), "0123456789abcdef0123456789abcdef");

    refused(
        "[clickhouse]\npassword_file = \"/nonexistent\"",
        &[],
        &["clickhouse.password_file = \"/nonexistent\": the file cannot be read: No such file or \
            directory (os error 2)"],
    );
    let both =
        format!("[clickhouse]\npassword = \"a\"\npassword_file = \"{}\"", write("both", "b"));
    refused(
        &both,
        &[],
        &["clickhouse.password_file: clickhouse.password is set too; keep one of them"],
    );
}

#[test]
fn oauthbearer_says_what_it_can_do() {
    const KEY: &str = "kafka.properties.sasl.oauthbearer.config";
    load(
        concat!(oauthbearer!(), "\"sasl.oauthbearer.config\" = \"principal=a lifeSeconds=60\""),
        &[],
    )
    .unwrap();
    let problem = |file: &str| {
        let error = load(file, &[]).expect_err("must be refused");
        assert_eq!(error.problems.len(), 1, "{error}");
        error.problems[0].clone()
    };
    let missing = problem(oauthbearer!());
    assert_eq!(missing.key, KEY);
    assert!(missing.message.starts_with(": expected principal=NAME"), "{missing}");
    let extension = problem(concat!(
        oauthbearer!(),
        "\"sasl.oauthbearer.config\" = \"principal=a extension_b=c\""
    ));
    assert_eq!(extension.to_string(), format!("{KEY}: extensions are not supported"));
    let not_enabled = problem(
        "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \
        \"OAUTHBEARER\"",
    );
    assert_eq!(not_enabled.key, "kafka.properties.enable.sasl.oauthbearer.unsecure.jwt");
    let oidc = "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \
        \"OAUTHBEARER\"\n\
                \"sasl.oauthbearer.method\" = \"oidc\"\n\"sasl.oauthbearer.client.id\" = \"x\"\n\
                \"sasl.oauthbearer.token.endpoint.url\" = \"https://idp.example/token\"\n\
                [kafka.property_files]\n\"sasl.oauthbearer.client.secret\" = \"/nonexistent\"";
    let unreadable = problem(oidc);
    assert_eq!(unreadable.key, "kafka.property_files.sasl.oauthbearer.client.secret");
}

#[test]
fn an_authorization_server_is_named_whole_and_its_secret_is_not_shown() {
    let whole = concat!(
        oidc!(),
        "\"sasl.oauthbearer.token.endpoint.url\" = \"https://idp.example/token\"\n"
    );
    let config = load(whole, &[]).unwrap();
    let shown = config.to_string();
    assert!(!format!("{shown}{config:?}").contains("hunter2"), "{shown}");
    assert!(
        shown.contains("\"sasl.oauthbearer.token.endpoint.url\" = \"https://idp.example/token\""),
        "{shown}"
    );
    let given: Vec<&str> = config.kafka.client_properties().map(|(name, _)| name).collect();
    assert_eq!(
        given,
        ["sasl.mechanism", "security.protocol"],
        "librdkafka is not built for the others"
    );

    const PREFIX: &str = "kafka.properties.sasl.oauthbearer";
    let key = |file: &str| {
        let error = load(file, &[]).expect_err("must be refused");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        error
            .problems
            .iter()
            .map(|problem| problem.key.trim_start_matches(PREFIX).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(key(oidc!()), [".token.endpoint.url"]);
    let with_password =
        "\"sasl.oauthbearer.token.endpoint.url\" = \"https://a:hunter2@idp.example/token\"\n";
    assert_eq!(key(&[oidc!(), with_password].concat()), [".token.endpoint.url"]);
    assert_eq!(key(&whole.replace(".client.id", ".scope")), [".client.id"]);
    assert_eq!(key(&whole.replace("OAUTHBEARER", "PLAIN")), [".method"]);
    let without_method = whole.replace("\"sasl.oauthbearer.method\" = \"oidc\"\n", "");
    assert_eq!(key(&without_method), [".client.id", ".client.secret", ".token.endpoint.url"]);
    assert_eq!(
        key(&[whole, "\"sasl.oauthbearer.assertion.file\" = \"a\"\n"].concat()),
        [".assertion.file"]
    );
    let grant =
        "\"sasl.oauthbearer.grant.type\" = \"urn:ietf:params:oauth:grant-type:jwt-bearer\"\n";
    assert_eq!(key(&[whole, grant].concat()), [".grant.type"]);
}

#[test]
fn no_secret_is_ever_shown() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let environment = [
        ("SEATMETER__CLICKHOUSE__PASSWORD", secret),
        ("SEATMETER__KAFKA__PROPERTIES__SASL_PASSWORD", secret),
        ("SEATMETER__KAFKA__PROPERTIES__SSL_KEY_PASSWORD", secret),
        ("SEATMETER__AUTH__MODE", "jwt"),
        ("SEATMETER__AUTH__HS256_SECRETS", secret),
    ];
    let config = load("", &environment).unwrap();
    let shown = format!("{config}\n{config:?}");
    assert!(shown.contains("password = \"***\"") && !shown.contains("hunter2"), "{shown}");

    let wrong = [
        ("[clickhouse]\nurl = \"https://user:hunter2@ch:8443\"", ""),
        ("[clickhouse]\nurl = \"//user:hunter2@ch\"", ""),
        ("[clickhouse]\nurl = \"ftp://user:hunter2@ch\"", ""),
        ("[clickhouse]\nurl = \"ftp://ch/?password=hunter2\"", ""),
        ("[clickhouse]\nurl = \"http://ch:8123/?password=hunter2\"", ""),
        ("[clickhouse]\nurl = \"http://ch:8123/#hunter2\"", ""),
        ("[kafka]\nbrokers = \"user:hunter2@a:9092\"", ""),
        ("[kafka]\nbrokers = \"a:0,SASL_SSL://user:hunter2@b:9092\"", ""),
        ("[kafka]\nbrokers = \"user:hunt,hunter2@b:9092\"", ""),
        (
            "[kafka.properties]\n\"sasl.oauthbearer.method\" = \
            \"oidc\"\n\"sasl.oauthbearer.client.secret\" = \"hunter2\"",
            "",
        ),
        (concat!(oauthbearer!(), "\"sasl.oauthbearer.config\" = \"hunter2\""), ""),
        (concat!(oauthbearer!(), "\"sasl.oauthbearer.config\" = \"principal=a key=hunter2\""), ""),
        ("[clickhouse]\npassword = [\"hunter2\"]", ""),
        ("[clickhouse]\npassword = hunter2", ""),
        ("[auth]\nmode = \"jwt\"\nhs256_secrets = [\"hunter2\"]", ""),
        ("[auth]\nmode = \"jwt\"\nhs256_secrets = \"hunter2\"", ""),
        ("", "[hunter2"),
    ];
    for (file, secrets) in wrong {
        let environment = [("SEATMETER__AUTH__HS256_SECRETS", secrets)];
        let environment = if secrets.is_empty() { &[][..] } else { &environment };
        let error = load(file, environment).expect_err("must be refused").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
