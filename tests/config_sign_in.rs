//! Signing in: every method of both sides, complete, incomplete and contradictory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use streamproc::config::{ConfigError, Problem, load};

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["password", "ca", "certificate", "key"] {
            std::fs::write(directory.path().join(name), "content\n").unwrap();
        }
        std::fs::write(directory.path().join("empty"), "").unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Loads with these two sign-ins; `@name` stands for the path of a file.
    fn load(&self, kafka: &str, cosmos: &str, env: &[(&str, &str)]) -> Vec<ConfigError> {
        let at = format!("\"{}/", self.directory.path().display());
        let (kafka, cosmos) = (kafka.replace("\"@", &at), cosmos.replace("\"@", &at));
        let toml = format!(
            "[kafka]\nbootstrap_servers = \"broker:9093\"\ntopics = [\"t\"]\n[kafka.auth]\n{kafka}\n\
             [cosmos]\nendpoint = \"https://a.documents.azure.com/\"\nregions = [\"r\"]\ndatabase = \"d\"\n\
             container = \"c\"\n[cosmos.auth]\n{cosmos}\n[dead_letter]\ntopic = \"dead\"\n"
        );
        let path = self.path("streamproc.toml");
        std::fs::write(&path, toml).unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        match load(Some(Path::new(&path)), env) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().cloned().collect(),
        }
    }

    fn kafka(&self, auth: &str) -> Vec<(Problem, String)> {
        self.load(auth, "", &[]).into_iter().map(|error| (error.problem, error.key)).collect()
    }

    fn cosmos(&self, auth: &str, env: &[(&str, &str)]) -> Vec<(Problem, String)> {
        self.load("", auth, env).into_iter().map(|error| (error.problem, error.key)).collect()
    }
}

const COMPLETE: [(&str, &[&str]); 5] = [
    ("none", &[]),
    ("scram", &["username = \"u\"", "password_file = \"@password\""]),
    ("plain", &["username = \"u\"", "password_file = \"@password\""]),
    ("mtls", &["certificate_file = \"@certificate\"", "key_file = \"@key\""]),
    ("workload_identity", &["scope = \"https://n.servicebus.windows.net/.default\""]),
];

#[test]
fn each_kafka_method_is_complete_with_its_fields_and_misses_each_that_is_left_out() {
    let files = Files::new();
    for (method, fields) in COMPLETE {
        let whole = format!("method = \"{method}\"\n{}", fields.join("\n"));
        assert_eq!(files.kafka(&whole), [], "{method}");
        for left_out in fields {
            let rest: Vec<&str> = fields.iter().filter(|field| field != &left_out).copied().collect();
            let name = left_out.split(' ').next().unwrap();
            let expected = [(Problem::Missing, format!("kafka.auth.{name}"))];
            assert_eq!(
                files.kafka(&format!("method = \"{method}\"\n{}", rest.join("\n"))),
                expected,
                "{method}"
            );
        }
    }
}

#[test]
fn a_field_of_another_method_is_a_contradiction() {
    let files = Files::new();
    let belongs: [(&str, &[&str]); 9] = [
        ("username = \"u\"", &["scram", "plain"]),
        ("password_file = \"@password\"", &["scram", "plain"]),
        ("mechanism = \"SCRAM-SHA-256\"", &["scram"]),
        ("ca_file = \"@ca\"", &["scram", "plain", "mtls", "workload_identity"]),
        ("certificate_file = \"@certificate\"", &["mtls"]),
        ("key_file = \"@key\"", &["mtls"]),
        ("scope = \"s\"", &["workload_identity"]),
        ("client_id = \"c\"", &["workload_identity"]),
        ("tenant_id = \"t\"", &["workload_identity"]),
    ];
    for (field, methods) in belongs {
        let name = field.split(' ').next().unwrap();
        for (method, needed) in COMPLETE {
            if needed.contains(&field) {
                continue;
            }
            let fields: Vec<&str> =
                needed.iter().filter(|one| !one.starts_with(name)).copied().chain([field]).collect();
            let seen = files.kafka(&format!("method = \"{method}\"\n{}", fields.join("\n")));
            if methods.contains(&method) {
                assert_eq!(seen, [], "{method} with {name}");
            } else {
                let expected = [(Problem::Contradiction, format!("kafka.auth.{name}"))];
                assert_eq!(seen, expected, "{method} with {name}");
            }
        }
    }
}

#[test]
fn encryption_is_what_the_file_says_or_the_file_is_refused() {
    let files = Files::new();
    let user = "username = \"u\"\npassword_file = \"@password\"";
    let tls = || vec![(Problem::Contradiction, "kafka.auth.tls".to_owned())];
    for (auth, expected) in [
        ("method = \"none\"\ntls = true".to_owned(), tls()),
        ("method = \"none\"\ntls = false".to_owned(), vec![]),
        (format!("method = \"scram\"\ntls = false\n{user}"), vec![]),
        (format!("method = \"scram\"\ntls = false\nca_file = \"@ca\"\n{user}"), tls()),
        (format!("method = \"plain\"\ntls = false\n{user}"), tls()),
        (
            "method = \"mtls\"\ntls = false\ncertificate_file = \"@certificate\"\nkey_file = \"@key\""
                .to_owned(),
            tls(),
        ),
        ("method = \"workload_identity\"\ntls = false\nscope = \"s\"".to_owned(), tls()),
    ] {
        assert_eq!(files.kafka(&auth), expected, "{auth}");
    }
}

#[test]
fn each_cosmos_method_takes_its_fields_and_no_others() {
    let files = Files::new();
    let belongs: [(&str, &[&str]); 3] = [
        ("client_id = \"c\"", &["workload_identity", "managed_identity"]),
        ("tenant_id = \"t\"", &["workload_identity"]),
        ("key_file = \"@key\"", &["key"]),
    ];
    for method in ["workload_identity", "managed_identity", "developer", "key"] {
        let env: &[(&str, &str)] = if method == "key" { &[("STREAMPROC_COSMOS_KEY", "k")] } else { &[] };
        assert_eq!(files.cosmos(&format!("method = \"{method}\""), env), [], "{method}");
        for (field, methods) in belongs {
            let name = field.split(' ').next().unwrap();
            let seen = files.cosmos(&format!("method = \"{method}\"\n{field}"), env);
            if methods.contains(&method) {
                assert_eq!(seen, [], "{method} with {name}");
            } else {
                let expected = [(Problem::Contradiction, format!("cosmos.auth.{name}"))];
                assert_eq!(seen, expected, "{method} with {name}");
            }
        }
    }
    let nowhere = [(Problem::Missing, "cosmos.auth.key_file".to_owned())];
    assert_eq!(files.cosmos("method = \"key\"", &[]), nowhere);
    assert_eq!(files.cosmos("method = \"key\"", &[("STREAMPROC_COSMOS_KEY", "")]), nowhere);
}

#[test]
fn a_file_that_is_named_must_be_there_and_hold_something() {
    let files = Files::new();
    for (path, why) in [("@missing", "No such file"), ("@empty", "empty"), ("@", "a directory")] {
        let errors =
            files.load(&format!("method = \"scram\"\nusername = \"u\"\npassword_file = \"{path}\""), "", &[]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].found.contains(why), "{}", errors[0]);
    }
}

#[test]
fn a_secret_in_the_configuration_is_refused_without_being_shown() {
    let files = Files::new();
    let secret = ["plain", "text", "secret"].join("-");
    for (kafka, cosmos, advice) in [
        (format!("password = \"{secret}\""), String::new(), "kafka.auth.password_file"),
        (String::new(), format!("key = \"{secret}\""), "STREAMPROC_COSMOS_KEY"),
        (format!("[kafka.properties]\n\"sasl.password\" = \"{secret}\""), String::new(), "password_file"),
        (format!("[kafka.properties]\nssl.key.password = \"{secret}\""), String::new(), "passphrase"),
        (format!("[kafka.properties]\n\"ssl.key.pem\" = [\"{secret}\"]"), String::new(), "one string"),
    ] {
        let errors = files.load(&kafka, &cosmos, &[]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].action.contains(advice), "{}", errors[0]);
        assert!(!format!("{} {:?}", errors[0], errors[0]).contains(&secret), "{}", errors[0]);
    }
}
