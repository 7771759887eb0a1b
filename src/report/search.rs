//! Search as people type: without a thought for case, accents, or the form that a letter is written
//! in.
//!
//! One function folds both sides. What is searched is folded once, where it is written, and kept
//! beside it (`directory_state`), and what is searched for is folded as it is parsed. Part of a
//! text is then a plain substring.

use icu_casemap::CaseMapper;
use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// The form by which a text is searched: its compatibility decomposition (NFKD) without combining
/// marks, by Unicode's default case folding, with the dotless ı as i. So `ipek` is part of İpek,
/// `zoe` of Zoë in either normal form, `strasse` of Straße, `finn` of ﬁnn. Folding it again changes
/// nothing.
pub fn search_key(text: &str) -> String {
    // Most texts need no table. Of ASCII nothing is decomposed or a mark, and only capitals fold.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(text.chars());
    let bare: String = decomposed
        .filter(|&letter| !GeneralCategoryGroup::Mark.contains(categories.get(letter)))
        .collect();
    CaseMapper::new().fold_string(&bare).replace('ı', "i")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, key: &str) {
        assert_eq!(search_key(text), key, "{text:?}");
    }

    #[test]
    fn what_people_type_is_found() {
        check("Ada Lovelace", "ada lovelace");
        check("İpek", "ipek");
        check("ırmak", "irmak");
        check("IRMAK", "irmak");
        check("Işık", "isik");
        check("Straße", "strasse");
        check("STRASSE", "strasse");
        check("STRAẞE", "strasse");
        check("Zoë", "zoe");
        check("Zoe\u{308}", "zoe");
        check("ﬁnn", "finn");
        check("Ａnn", "ann");
        check("Ångström", "angstrom");
        check("\u{212b}", "a");
        check("МАРИЯ", "мария");
        check("Йод", "иод");
        // A sigma ends a word in another form than it has within one.
        check("ΟΔΥΣΣΕΥΣ", "οδυσσευσ");
        check("Ὀδυσσεύς", "οδυσσευσ");
        check("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}");
        check("漢字 42", "漢字 42");
        check("\u{301}", "");
        check("", "");
    }

    #[test]
    fn folding_a_key_changes_nothing() {
        for letter in '\0'..=char::MAX {
            let key = search_key(&letter.to_string());
            assert_eq!(search_key(&key), key, "{:x}", u32::from(letter));
        }
    }

    #[test]
    fn normal_form_and_case_do_not_matter() {
        let nfc = icu_normalizer::ComposingNormalizerBorrowed::new_nfc();
        let nfd = DecomposingNormalizerBorrowed::new_nfd();
        for letter in '\u{80}'..=char::MAX {
            let text = letter.to_string();
            let key = search_key(&text);
            for other in [nfc.normalize(&text), nfd.normalize(&text)] {
                assert_eq!(search_key(&other), key, "{:x}", u32::from(letter));
            }
            // An iota below a Greek vowel is a mark, and left out, but a letter to case folding.
            if !nfd.normalize(&text).contains('\u{345}') {
                assert_eq!(
                    search_key(&CaseMapper::new().fold_string(&text)),
                    key,
                    "{:x}",
                    u32::from(letter)
                );
            }
        }
    }
}
