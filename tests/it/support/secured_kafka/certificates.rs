//! Certificates of one broker: two authorities, and certificates signed by the first. Each file
//! holds key and certificate.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A folder of certificates, and the authority that signs them.
#[derive(Debug)]
pub(super) struct Certificates {
    folder: PathBuf,
    ca: Issuer<'static, KeyPair>,
}

impl Certificates {
    /// Creates `ca.pem`, `other-ca.pem`, `broker.pem`, `expired.pem` and `other-host.pem` in a
    /// folder.
    #[track_caller]
    pub(super) fn create(folder: &Path) -> Certificates {
        let folder = folder.join("certificates");
        std::fs::create_dir_all(&folder).unwrap();
        authority(&folder.join("other-ca.pem"), "other CA");
        let certificates = Certificates { ca: authority(&folder.join("ca.pem"), "CA"), folder };
        let here =
            || CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        certificates.sign("broker", here());
        let mut expired = here();
        expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
        expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
        certificates.sign("expired", expired);
        certificates
            .sign("other-host", CertificateParams::new(["kafka.example".to_owned()]).unwrap());
        certificates
    }

    /// Creates `NAME.pem` for a client.
    #[track_caller]
    pub(super) fn client(&self, name: &str) {
        self.sign(name, CertificateParams::default());
    }

    /// The path of a file.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn sign(&self, name: &str, mut params: CertificateParams) {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), key.serialize_pem() + &certificate.pem())
            .unwrap();
    }
}

/// Creates an authority, and its certificate in a file.
#[track_caller]
fn authority(file: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    Issuer::new(params, key)
}
